"""Campaign pictures: what is asked of a model, what is said of a picture to those who do not see it, and its checks."""
