"""MLflow's REST API over Slipway's own records: an unmodified MLflow client logs, searches and registers here.

Each route is declared with the permission that it needs (`routes.py`); what it does is done by the stages.
"""
