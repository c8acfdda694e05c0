"""What keeps a model good without anybody's hand: triggers, retraining under a standing approval, what is done and why."""
