"""pyrgw: an S3-compatible object gateway that keeps its data as RADOS Gateway does."""

__version__ = "0.1.0"
