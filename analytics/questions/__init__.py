"""The questions: from request rows to findings with n, effect, interval and what they were adjusted for."""
