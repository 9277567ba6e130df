def track(*a): raise ValueError
