"""Schedulers: the classes that users construct, start and stop, and the engine behind them."""
