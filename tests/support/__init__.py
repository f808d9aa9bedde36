"""What tests and demo share. No tests here, and nothing that knows the product's insides."""
