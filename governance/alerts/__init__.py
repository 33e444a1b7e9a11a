"""What somebody should know: found by rules, kept as alerts, sent to channels."""
