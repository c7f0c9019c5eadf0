"""What `evaluate` does with score files of any program: reads them, labels them, measures them, shows them."""
