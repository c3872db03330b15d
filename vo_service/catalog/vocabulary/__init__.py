"""Words that standards prescribe: UCDs, units, messengers."""
