select * from {{ landed_quarantine() }}
