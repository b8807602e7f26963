{{ latest_rows('scored_at') }}
