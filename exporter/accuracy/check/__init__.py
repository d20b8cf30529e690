"""Budgets, and contenders judged by them."""
