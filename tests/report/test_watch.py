from replaytree.report import watch_report


def test_the_page_is_rewritten_for_new_episodes_only_and_at_last_without_reloading(tree, tmp_path, training):
    written = []
    naps = iter(["nothing new", "an episode", "stop"])

    def sleep(seconds):
        assert seconds == 2.5
        what = next(naps)
        if what == "an episode":
            tree.record([training((1,), 0.99, epochs=8)], state=b"")
        if what == "stop":
            raise KeyboardInterrupt

    def keep(path):
        written.append(path.read_text(encoding="utf-8"))

    watch_report(tree, out=tmp_path, interval_seconds=2.5, on_write=keep, sleep=sleep)
    assert len(written) == 3
    assert [page.count('data-refresh-seconds="2.5"') for page in written] == [1, 1, 0]
    assert "Best: 0.750 after 1 layer" in written[0]
    assert "Best: 0.990 after 1 layer" in written[1]
