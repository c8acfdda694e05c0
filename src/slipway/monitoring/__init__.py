"""Is it well? Drift of inputs and answers, quality by late labels, cost: findings, and the incidents that follow.

Pure functions of frames and profiles; reading the prediction log and storing findings is the flow's work.
"""
