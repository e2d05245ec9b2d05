"""Programs that tests run: small ones, random ones, models in the style of others."""
