"""`make bench`: this gateway and its peers, side by side on one machine."""
