-- `greenhouse/zone/node` of the topic under which a node reported last, in the node's own spelling.
ALTER TABLE config_reported ADD COLUMN place TEXT NOT NULL DEFAULT '';
