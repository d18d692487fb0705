from hw1.watching import Watcher


def test_each_level_adds_what_it_has_to_say_and_to_do() -> None:
    heard: list[str] = []
    watcher = Watcher(heard.append, lambda: heard.append("outer step"))
    inner = watcher.of("study").after(lambda: heard.append("inner step"))
    inner.say("fold 1")
    inner.on_step()
    assert heard == ["study: fold 1", "inner step", "outer step"]
    Watcher().say("nobody hears it")
    Watcher().on_step()
