"""Plain values to SVG: sparklines, lines, bands, bars, histograms, reliability, intervals, and graphs of lineage.

Owns how a figure is drawn: scales, labels, colours, layout. Does not own what is worth showing, nor any record: values
come in as numbers, texts and tuples, and one SVG string goes out, the same for the same values. Every text in it is
escaped, so it may stand in a page as it is. Needs neither script nor style sheet; a page sets colours through CSS
variables (see `svg`). Called by the pages, by cards and by reports.
"""
