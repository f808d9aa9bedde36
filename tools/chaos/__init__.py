"""Random faults against a cluster of real processes while two kinds of clients judge what they are told: `make chaos`."""
