{{ latest_rows('recorded_at') }}
