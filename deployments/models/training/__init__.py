"""How the motion model of `lite` was made: training speech, targets, the run itself and its figures. Never imported at run time."""
