"""What writing and translating for campaigns is made of: brief, checks, layout, tag guard, sample size, results."""
