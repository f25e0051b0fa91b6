"""For operators of a store: nodes, statistics, doctor, followers, maintenance."""
