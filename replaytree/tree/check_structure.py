"""Check that the rows of a tree fit together. Each invariant is one query for the rows that violate it."""

from __future__ import annotations

# Invariant -> a query with columns search, node_id, episode, expected, found.
STRUCTURE = {
    "parent_id": """
SELECT COALESCE(s.name, '?') AS search, n.id AS node_id, NULL AS episode,
       CASE WHEN n.depth = 1 THEN 'none' ELSE 'an older node of the search, one layer up' END AS expected,
       n.parent_id AS found
FROM nodes n LEFT JOIN searches s ON s.id = n.search_id LEFT JOIN nodes p ON p.id = n.parent_id
WHERE (n.depth = 1 AND n.parent_id IS NOT NULL)
   OR (n.depth <> 1 AND (p.id IS NULL OR p.search_id <> n.search_id OR p.id >= n.id OR p.depth <> n.depth - 1))
ORDER BY n.id
""",
    "path": """
SELECT COALESCE(s.name, '?') AS search, n.id AS node_id, NULL AS episode,
       COALESCE(p.path || '.', '') || CAST(n.action AS VARCHAR) AS expected, n.path AS found
FROM nodes n LEFT JOIN searches s ON s.id = n.search_id LEFT JOIN nodes p ON p.id = n.parent_id
WHERE n.path <> COALESCE(p.path || '.', '') || CAST(n.action AS VARCHAR)
ORDER BY n.id
""",
    "nodes of a path": """
SELECT COALESCE(MAX(s.name), '?') AS search, MAX(n.id) AS node_id, NULL AS episode, 1 AS expected, COUNT(*) AS found
FROM nodes n LEFT JOIN searches s ON s.id = n.search_id
GROUP BY n.search_id, n.path HAVING COUNT(*) > 1
ORDER BY 2
""",
    "labels": """
SELECT COALESCE(s.name, '?') AS search, n.id AS node_id, NULL AS episode,
       COALESCE(p.labels || ' ', '') || n.label AS expected, n.labels AS found
FROM nodes n LEFT JOIN searches s ON s.id = n.search_id LEFT JOIN nodes p ON p.id = n.parent_id
WHERE n.labels <> COALESCE(p.labels || ' ', '') || n.label
ORDER BY n.id
""",
    "depth": """
SELECT COALESCE(s.name, '?') AS search, n.id AS node_id, NULL AS episode,
       1 + LENGTH(n.path) - LENGTH(REPLACE(n.path, '.', '')) AS expected, n.depth AS found
FROM nodes n LEFT JOIN searches s ON s.id = n.search_id
WHERE n.depth <> 1 + LENGTH(n.path) - LENGTH(REPLACE(n.path, '.', ''))
ORDER BY n.id
""",
    "search of node": """
SELECT '?' AS search, n.id AS node_id, NULL AS episode, 'a stored search' AS expected, n.search_id AS found
FROM nodes n WHERE NOT EXISTS (SELECT 1 FROM searches s WHERE s.id = n.search_id)
ORDER BY n.id
""",
    "node of episode": """
SELECT COALESCE(s.name, '?') AS search, NULL AS node_id, e.number AS episode,
       'a node of the search' AS expected, e.node_id AS found
FROM episodes e LEFT JOIN searches s ON s.id = e.search_id LEFT JOIN nodes n ON n.id = e.node_id
WHERE n.id IS NULL OR n.search_id <> e.search_id
ORDER BY e.id
""",
    "node of sums": """
SELECT COALESCE(s.name, '?') AS search, b.node_id, NULL AS episode,
       'a node of the search' AS expected, b.search_id AS found
FROM node_budgets b LEFT JOIN searches s ON s.id = b.search_id LEFT JOIN nodes n ON n.id = b.node_id
WHERE n.id IS NULL OR n.search_id <> b.search_id
ORDER BY b.node_id
""",
    "evaluation": """
SELECT COALESCE(s.name, '?') AS search, v.node_id, e.number AS episode,
       'a prefix of a trained episode of its search, at its epochs' AS expected, v.id AS found
FROM evaluations v LEFT JOIN searches s ON s.id = v.search_id
LEFT JOIN episodes e ON e.id = v.episode_id
LEFT JOIN nodes n ON n.id = v.node_id
LEFT JOIN nodes ending ON ending.id = e.node_id
WHERE e.id IS NULL OR n.id IS NULL OR NOT e.trained
   OR e.search_id <> v.search_id OR n.search_id <> v.search_id OR e.epochs <> v.epochs
   OR n.path || '.' <> SUBSTR(ending.path || '.', 1, LENGTH(n.path) + 1)
ORDER BY v.id
""",
    "shared evaluation": """
SELECT COALESCE(s.name, '?') AS search, v.node_id, e.number AS episode,
       'one that is not shared, of the same node and epochs' AS expected, v.id AS found
FROM evaluations v LEFT JOIN searches s ON s.id = v.search_id LEFT JOIN episodes e ON e.id = v.episode_id
WHERE v.shared AND NOT EXISTS (SELECT 1 FROM evaluations w WHERE w.node_id = v.node_id AND w.epochs = v.epochs
                               AND w.search_id = v.search_id AND NOT w.shared)
ORDER BY v.id
""",
    "rescore": """
SELECT COALESCE(s.name, '?') AS search, r.node_id, NULL AS episode,
       'of a node of the search, which no training scored at its epochs' AS expected, r.id AS found
FROM rescores r LEFT JOIN searches s ON s.id = r.search_id LEFT JOIN nodes n ON n.id = r.node_id
WHERE n.id IS NULL OR n.search_id <> r.search_id
   OR EXISTS (SELECT 1 FROM evaluations v WHERE v.node_id = r.node_id AND v.epochs = r.epochs AND NOT v.shared)
ORDER BY r.id
""",
    "search of evaluator state": """
SELECT '?' AS search, NULL AS node_id, NULL AS episode, 'a stored search' AS expected, t.search_id AS found
FROM evaluator_states t WHERE NOT EXISTS (SELECT 1 FROM searches s WHERE s.id = t.search_id)
ORDER BY t.search_id
""",
    "evaluations of episode": """
SELECT COALESCE(s.name, '?') AS search, e.node_id, e.number AS episode,
       'one of its path' AS expected, COALESCE(v.n, 0) AS found
FROM episodes e LEFT JOIN searches s ON s.id = e.search_id
LEFT JOIN (SELECT episode_id, node_id, COUNT(*) AS n FROM evaluations GROUP BY episode_id, node_id) v
     ON v.episode_id = e.id AND v.node_id = e.node_id
WHERE e.trained AND e.failure IS NULL AND COALESCE(v.n, 0) <> 1
ORDER BY e.id
""",
    "first episode number": """
SELECT s.name AS search, NULL AS node_id, NULL AS episode, 0 AS expected, MIN(e.number) AS found
FROM episodes e JOIN searches s ON s.id = e.search_id GROUP BY s.name HAVING MIN(e.number) <> 0
ORDER BY s.name
""",
    "last episode number": """
SELECT s.name AS search, NULL AS node_id, NULL AS episode, COUNT(*) - 1 AS expected, MAX(e.number) AS found
FROM episodes e JOIN searches s ON s.id = e.search_id GROUP BY s.name HAVING MAX(e.number) <> COUNT(*) - 1
ORDER BY s.name
""",
    "episodes of the strategy's state": """
SELECT s.name AS search, NULL AS node_id, NULL AS episode, COALESCE(e.n, 0) AS expected, t.episode_count AS found
FROM searches s LEFT JOIN strategy_states t ON t.search_id = s.id
LEFT JOIN (SELECT search_id, COUNT(*) AS n FROM episodes GROUP BY search_id) e ON e.search_id = s.id
WHERE COALESCE(t.episode_count, 0) <> COALESCE(e.n, 0)
ORDER BY s.id
""",
    "search of strategy state": """
SELECT '?' AS search, NULL AS node_id, NULL AS episode, 'a stored search' AS expected, t.search_id AS found
FROM strategy_states t WHERE NOT EXISTS (SELECT 1 FROM searches s WHERE s.id = t.search_id)
ORDER BY t.search_id
""",
    "search of lease": """
SELECT '?' AS search, NULL AS node_id, NULL AS episode, 'a stored search' AS expected, l.search_id AS found
FROM leases l WHERE NOT EXISTS (SELECT 1 FROM searches s WHERE s.id = l.search_id)
ORDER BY l.search_id
""",
    "search of model": """
SELECT '?' AS search, NULL AS node_id, NULL AS episode, 'a stored search' AS expected, m.search_id AS found
FROM models m WHERE m.search_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM searches s WHERE s.id = m.search_id)
ORDER BY m.id
""",
    "node of model": """
SELECT COALESCE(s.name, '?') AS search, NULL AS node_id, NULL AS episode, 'a node of the search' AS expected,
       m.node_id AS found
FROM models m LEFT JOIN searches s ON s.id = m.search_id LEFT JOIN nodes n ON n.id = m.node_id
WHERE m.node_id IS NOT NULL AND (n.id IS NULL OR n.search_id <> m.search_id)
ORDER BY m.id
""",
    **{
        f"{column} of episode": f"""
SELECT COALESCE(s.name, '?') AS search, e.node_id, e.number AS episode, 'none: it was not trained' AS expected,
       e.{column} AS found
FROM episodes e LEFT JOIN searches s ON s.id = e.search_id
WHERE NOT e.trained AND e.{column} IS NOT NULL
ORDER BY e.id
"""
        for column in ("failure", "train_seconds")
    },
    "depth_bound": """
SELECT COALESCE(s.name, '?') AS search, e.node_id, e.number AS episode,
       'at least the ' || CAST(n.depth AS VARCHAR) || ' layers of its path' AS expected, e.depth_bound AS found
FROM episodes e LEFT JOIN searches s ON s.id = e.search_id JOIN nodes n ON n.id = e.node_id
WHERE e.depth_bound < n.depth
ORDER BY e.id
""",
    "sum of a prior": """
SELECT COALESCE(s.name, '?') AS search, NULL AS node_id, NULL AS episode,
       'at most the ' || CAST(r.evaluation_count AS VARCHAR) || ' of ' || r.path AS expected, r.total_accuracy AS found
FROM priors r LEFT JOIN searches s ON s.id = r.search_id
WHERE r.total_accuracy > r.evaluation_count * 1.000000001
ORDER BY r.search_id, r.path
""",
    "search of prior": """
SELECT DISTINCT '?' AS search, NULL AS node_id, NULL AS episode, 'a stored search' AS expected, r.search_id AS found
FROM priors r WHERE NOT EXISTS (SELECT 1 FROM searches s WHERE s.id = r.search_id)
""",
    "labels of model": """
SELECT COALESCE(s.name, '?') AS search, m.node_id, NULL AS episode, n.labels AS expected, m.labels AS found
FROM models m JOIN nodes n ON n.id = m.node_id LEFT JOIN searches s ON s.id = m.search_id
WHERE m.labels <> n.labels
ORDER BY m.id
""",
    "model of class results": """
SELECT DISTINCT COALESCE(s.name, '?') AS search, NULL AS node_id, NULL AS episode,
       'a stored model of the same search' AS expected, c.model_id AS found
FROM class_results c LEFT JOIN models m ON m.id = c.model_id LEFT JOIN searches s ON s.id = c.search_id
WHERE m.id IS NULL OR COALESCE(m.search_id, 0) <> COALESCE(c.search_id, 0)
ORDER BY c.model_id
""",
    "class of class results": """
SELECT COALESCE(s.name, '?') AS search, NULL AS node_id, NULL AS episode,
       'classes that have a row for themselves' AS expected, c.actual || ' as ' || c.predicted AS found
FROM class_results c LEFT JOIN searches s ON s.id = c.search_id
WHERE NOT EXISTS (SELECT 1 FROM class_results d WHERE d.model_id = c.model_id
                  AND d.actual = c.actual AND d.predicted = c.actual)
   OR NOT EXISTS (SELECT 1 FROM class_results d WHERE d.model_id = c.model_id
                  AND d.actual = c.predicted AND d.predicted = c.predicted)
ORDER BY c.id
""",
    "images of class results": """
SELECT COALESCE(s.name, '?') AS search, m.node_id, NULL AS episode,
       CASE WHEN c.part = 'test' THEN m.test_image_count ELSE m.validation_image_count END AS expected, c.n AS found
FROM models m JOIN (SELECT model_id, part, SUM(image_count) AS n FROM class_results GROUP BY model_id, part) c
     ON c.model_id = m.id
LEFT JOIN searches s ON s.id = m.search_id
WHERE c.n <> CASE WHEN c.part = 'test' THEN m.test_image_count ELSE m.validation_image_count END
ORDER BY m.id
""",
    "lease": """
SELECT COALESCE(s.name, '?') AS search, NULL AS node_id, NULL AS episode,
       'a heartbeat that is not before its beginning' AS expected, CAST(l.heartbeat_at AS VARCHAR) AS found
FROM leases l LEFT JOIN searches s ON s.id = l.search_id
WHERE l.heartbeat_at < l.acquired_at
""",
}
