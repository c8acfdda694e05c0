"""Estimators compiled to plain data: from a request's values to a score without the framework that trained them.

`compiling` reads a fitted estimator and writes a `program`: a list of steps over arrays, no code. `running` makes a program
callable with NumPy alone. `proof` asks program and estimator the same rows, ordinary and hostile; only a program that
passed lies in a bundle. A program answers what it surely understands and leaves every other row to the estimator.
"""
