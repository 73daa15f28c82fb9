"""What a run shows: table, pages, JUnit XML, bundle, badge."""
