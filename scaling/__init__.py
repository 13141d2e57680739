"""A scaling study of intermediate-task training, as rooms that import one way.

The catalogue says what there is, a study asks for some of it, the store remembers what is done,
planning says what the rest takes; kinds define tasks, data makes batches, encoders make networks,
training does one step, the cluster does all of them, the cli is the door.
"""
