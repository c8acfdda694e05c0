"""Hidden inputs: what a step reads beside its arguments and its code, recorded while it computes and compared later.

`hooks` sees Python's own reads, `natives` those of libraries that open files themselves, `readers` says whose read it
is, `recorder` gathers what counts, `present` compares it with what is there now. Called by the engine and the step
worker; nothing is installed before the first step that is recorded.
"""
