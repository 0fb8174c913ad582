"""Judging a candidate kernel: is it right, how fast is it, does it cheat. Nothing the candidate says is believed.

Four processes. The *judge* (this one, no torch) holds the clock, the limits and the verdict. The *reference worker*
is trusted: it makes the inputs and computes what must come out. The *pace worker* runs the reference for its time. The
*candidate worker* runs the code under test.
A timed batch is first queued by the candidate; only then do the reference worker write fresh inputs and the judge open
the gate, so no result can exist before the clock starts; random elements of every output (the witness) must lie in
memory of the judge when it stops. What the candidate patches in its own process changes none of this.
"""
