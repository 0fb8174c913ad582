"""Large language models with random weights, to be traced: what to run, the models in torch, the program."""
