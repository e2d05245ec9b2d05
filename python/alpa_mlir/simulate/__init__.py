"""Schedules and plans on a clock."""
