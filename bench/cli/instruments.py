"""What a run is measured with, from its configuration: meters, sampler, CodeCarbon, one clock."""
