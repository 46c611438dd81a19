import pytest

from rgw.core.options import Options, parse_conf


def test_defaults_and_types():
    options = Options({"rgw_max_chunk_size": "8M", "rgw gc obj-min wait": "5", "rgw_enable_gc_threads": "false"})
    assert options.rgw_max_chunk_size == 8 << 20
    assert options.rgw_gc_obj_min_wait == 5
    assert options.rgw_enable_gc_threads is False
    assert options.rgw_multipart_min_part_size == 5 << 20


@pytest.mark.parametrize("name,value", [
    ("rgw_max_chunk_size", "big"), ("rgw_enable_gc_threads", "maybe"), ("rgw_cache_expiry_interval", "x"), ("rgw_gc_max_objs", "0"),
    ("rgw_lc_max_objs", "0"), ("rgw_usage_max_shards", "0"), ("rgw_lifecycle_work_time", "morning"), ("rgw_lifecycle_work_time", "1-2"),
])
def test_bad_values_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        Options({name: value})


def test_unknown_attribute():
    with pytest.raises(AttributeError):
        _ = Options().rgw_no_such_option


def test_load_takes_the_most_special_section(tmp_path):
    conf = tmp_path / "ceph.conf"
    conf.write_text("[global]\nfsid = x\nrgw dns name = a.example ; comment\nrgw_gc_max_objs = 8\n[client]\nrgw-gc-max-objs = 16\n"
                    "[client.gw]\n# all of it\nrgw_gc_obj_min_wait = 1\n[client.other]\nrgw_gc_obj_min_wait = 2\n")
    options = Options.load(conf, "client.gw", {"rgw_max_put_size": "1G"})
    assert (options.rgw_dns_name, options.rgw_gc_max_objs) == ("a.example", 16)
    assert (options.rgw_gc_obj_min_wait, options.rgw_max_put_size) == (1, 1 << 30)
    assert Options.load(tmp_path / "none", "client.gw").rgw_gc_obj_min_wait == 7200


def test_overrides_must_be_known():
    with pytest.raises(ValueError, match="rgw_nonsense"):
        Options.load(None, "", {"rgw_nonsense": "1"})


def test_conf_syntax():
    assert parse_conf(["a = 1 \\", "2", "[s t]", 'b c = "x"']) == {"global": {"a": "1 2"}, "s t": {"b_c": "x"}}
    with pytest.raises(ValueError, match="line 2"):
        parse_conf(["[x]", "nonsense"])
