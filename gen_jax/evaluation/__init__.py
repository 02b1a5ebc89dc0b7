"""Measures of generative models, each checked against a closed form or an independent
implementation.
"""
