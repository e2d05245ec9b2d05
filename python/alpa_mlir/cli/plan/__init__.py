"""`alpa-plan`: what can be done with plans, and with what they are made for, from a terminal."""
