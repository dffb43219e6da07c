"""Pages for people who look into Facet: plain HTML that works without script, on a phone and in the dark."""
