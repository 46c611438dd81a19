"""A gateway without HTTP. Where to begin, by subject; the first line of each file says what it is.

The gateway          gateway, options, zone, places (which pool), background
Users                users, subusers, suspension, caps, quotas, user_stats, usage, ratelimit
Metadata             metadata (system objects and their cache), metadata_sections (as radosgw's JSON)
Buckets              buckets, bucket_owners, purge
A bucket's index     index, indexed (one change), key_index (one key), raw_index, listing, index_repair, null_notes, null_places
Resharding           reshard, reshard_copy, reshard_marks, reshard_ending, reshard_lock, reshard_queue, stale_instances
Objects              objects, state (one look at a head), reader, writer, stripes, head, manifest, copy, delete, conditions
Versions             versions, olh (which is current), version_check, version_mend
Forbidden            restrictions (what radosgw was told to forbid)
Uploads              multipart, uploads, parts, part_copy, complete, upload_lock, upload_result
Bytes as stored      encryption, compression, storage_class
Background work      gc, gc_status, lifecycle, lc_rules, lc_bucket, transition, quota_enforcement, queue_lock
Crashes              intents, recovery
Tools                bucket_check, locator_check, orphans, radoslist, dump/ (radosgw's JSON)
Of use everywhere    parallel, finish, memory, entropy
"""
