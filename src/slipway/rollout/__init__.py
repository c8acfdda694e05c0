"""How a challenger comes into production: the phases as declared, and what the evidence shows at each look.

Pure functions of frames and records; splitting traffic is `serving/`, reading the log and acting on a look is the loop's
and the flows' work. The statistics are in `stats/evidence/`.
"""
