"""Work beside the answers goes on, whatever one piece of it does."""

from serving.background import Background


def test_a_thing_that_cannot_be_worked_on_does_not_end_the_work() -> None:
    done: list[int] = []

    def work(things: list[int]) -> None:
        done.extend(10 // thing for thing in things)

    background = Background[int]("divide", work, max_waiting=9, max_together=1)
    for thing in (1, 0, 5):
        assert background.put(thing)
    background.start()
    background.stop(timeout_seconds=20.0)
    assert done == [10, 2]
