"""What a catalog is: its items and users, its generations, and the calls that change them."""
