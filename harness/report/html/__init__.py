"""The report that people read: one HTML file, a summary as SVG, and Markdown for a forge."""
