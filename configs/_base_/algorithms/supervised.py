_base_ = './mean_teacher.py'
# The labelled images alone; the student is what is trained and evaluated.
model = dict(
    buffers='copy', predict_with='student', terms=dict(consistency=None))
