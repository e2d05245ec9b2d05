"""Plans that people make by hand, as data for the same planner: what they leave open is solved."""
