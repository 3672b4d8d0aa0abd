@echo off
rem Feeds the catalogue's server from this computer's journals; the task stedopt-ingest starts it.
set STEDOPT_CATALOG=D:\stedopt-data
set STEDOPT_CATALOG_KEY_FILE=C:\stedopt\keys\write.key
C:\stedopt\venv\Scripts\stedopt.exe ingest --follow --to https://catalogue.example.org --server-folder /srv/sted1
