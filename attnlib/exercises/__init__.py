"""Exercises that answer the learner: one module a chapter, one `check_…` function an exercise.

    from attnlib.exercises import compatibility as ex

    ex.check_scores(my_scores)

A check prints `Correct: …` and returns True, or prints `Not yet: …` with what to look at and returns nothing.
"""
