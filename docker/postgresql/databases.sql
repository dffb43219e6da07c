-- Runs once, on an empty volume; the database `facet` is made by the image.
CREATE DATABASE airflow;
CREATE DATABASE mlflow;
