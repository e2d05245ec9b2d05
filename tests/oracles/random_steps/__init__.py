"""The oracle for whole training steps: whatever the step and the method, as on one device."""
