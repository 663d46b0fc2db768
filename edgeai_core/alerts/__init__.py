"""Alerts: the record, its life cycle, and the journal that loses none."""
