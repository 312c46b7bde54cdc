"""An assistant that changes a program: inspect, draft a diff, apply it virtually, test, review, maybe again."""
