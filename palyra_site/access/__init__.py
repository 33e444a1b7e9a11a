"""Who may enter Palyra, how they prove it, and what each role may do."""
