"""Campaigns at Brevo from file to result: drafted, checked, approved by a person, sent when that is typed."""
