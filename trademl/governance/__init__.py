"""Evidence and decisions: audits of splits, the ledger of trials, promotion. Nothing is taken on trust."""
